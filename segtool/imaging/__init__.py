"""Arrays and files of images and masks; never TensorFlow."""
