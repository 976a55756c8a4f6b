"""What hack/gpu-check does once its environment is there: tests, figures, report."""
