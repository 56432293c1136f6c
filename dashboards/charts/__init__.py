"""Figure factories, a module per subject: data in, Plotly figure with an alternative text out."""
