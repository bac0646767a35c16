"""SurgΣ-DB: schema, ontology, identity, prepared records."""
