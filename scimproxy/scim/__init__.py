"""What is SCIM about an exchange: messages, filters, paths, schemas. Pure."""
