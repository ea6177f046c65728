"""What the system does, whoever asks: values parsed once, one function for each question and change."""
