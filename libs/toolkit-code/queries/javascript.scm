; Added to ecmascript.scm.

(field_definition property: (_) @name) @definition.field
(formal_parameters (identifier) @binding)
