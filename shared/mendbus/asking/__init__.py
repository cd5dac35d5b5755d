"""What people ask of an installation, and order it to do: the same functions answer the command line and the dashboard.

They take a connection and give plain values or contracts; nothing here prints, and nothing is heavy to import.
"""
