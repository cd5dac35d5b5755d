"""The vocabulary of the bus: messages, subjects, errors. Imports pydantic and nothing else of ours."""
