"""From objects in a bucket to tables: scans, proposals, registration, conversion."""
