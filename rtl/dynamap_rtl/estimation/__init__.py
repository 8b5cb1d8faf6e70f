"""What a leaf becomes in the fabric, counted from its nets: gates, a cover of them by look-up tables, memories."""
