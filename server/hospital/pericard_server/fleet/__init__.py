"""The gateways and how they enrol; which device serves which patient; which devices are lost."""
