"""The response cache: answers that identical calls of a project are given again."""
