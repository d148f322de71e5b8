"""The site's side of every job: the executor, what the hospital's files say, what the site keeps."""
