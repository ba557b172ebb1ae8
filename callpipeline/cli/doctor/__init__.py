"""The command doctor: examinations of an installation."""
