"""JSON Schema: values held against one, and example values made from one."""
