"""What the system does, independent of any API: validated inputs, and a function for each query and change."""
