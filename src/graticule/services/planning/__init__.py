"""Which files a window touches: indexes of snapshots, scan plans, file search, layouts."""
