"""What is done to the classifier away from the service: training, scoring. It needs numpy and scipy."""
