"""The page that an operator keeps open, and what it is served: files, answers, events, and orders with a token.

Nothing of it is imported unless `MENDBUS_DASHBOARD_PORT` says where it is served.
"""
