"""What is generated beside the chart's values.yaml: its schema, and the table in its README."""
