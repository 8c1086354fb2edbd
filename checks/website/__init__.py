"""The site: notebooks to pages, what runs in the page, what is studied on it."""
