"""OpenAI's and OpenPipe's forms and our record of a call; pure, no I/O."""
