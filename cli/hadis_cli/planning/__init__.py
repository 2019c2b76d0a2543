"""What `hadis plan` and `hadis capacity` share: problems as people state them, and progress."""
