"""The article: one source, article.md.jinja, filled from artifacts, as PDF (`make article`) and on the site."""
