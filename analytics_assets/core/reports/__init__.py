"""What people open beside the dashboards: an executed notebook of each year, and the main charts as files."""
