"""What is doubtful in a constitution that has no mistakes."""
