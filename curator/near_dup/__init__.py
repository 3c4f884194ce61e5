"""Room: near duplicates, from rows of text or vectors to pairs and clusters. It knows no paths and no operators."""
