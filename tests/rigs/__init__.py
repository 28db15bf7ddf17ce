"""The real parts that tests run on: a kernel, a browser with JupyterLab, an HTTP server that plays the model."""
