"""Drawing: values as text, HTML, SVG and XML. Pure."""
