"""What goes into data/demo: texts, drawings and scans about an invented lighthouse. `scripts/make_demo.py` writes them."""
