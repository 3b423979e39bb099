"""The report's pictures, one file a section. Each function gives one ``<svg>`` element."""
