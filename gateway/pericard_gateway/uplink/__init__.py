"""From opened frames to the hospital: batches, seal, spool, delivery, enrolment."""
