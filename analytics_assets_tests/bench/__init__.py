"""``make bench``: speed and memory of each stage on generated events, next to the plain way where there is one."""
