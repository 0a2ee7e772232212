"""Running the application: health, logs without patient values, metrics, start and orderly stop."""
