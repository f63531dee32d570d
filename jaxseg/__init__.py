"""jaxseg: measure shortcut learning in medical image segmentation with fast ablation grids."""
