"""The messages and services; their modules are generated from the .proto files at installation."""
