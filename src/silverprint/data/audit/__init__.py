"""What can be wrong with pictures and labels, found in facts, features and predictions: numpy."""
