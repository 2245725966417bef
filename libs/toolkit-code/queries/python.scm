; The captures are explained in rust.scm.

(class_definition name: (identifier) @name) @definition.class
((function_definition name: (identifier) @name) @definition.constructor
  (#eq? @name "__init__"))
(function_definition name: (identifier) @name) @definition.function
(type_alias_statement left: (type (identifier) @name)) @definition.type
(type_alias_statement left: (type (generic_type (identifier) @name))) @definition.type
((module (expression_statement (assignment left: (identifier) @name) @definition.constant))
  (#match? @name "^_?[A-Z][A-Z0-9_]*$"))
(module (expression_statement (assignment left: (identifier) @name) @definition.variable))
(class_definition
  body: (block (expression_statement (assignment left: (identifier) @name) @definition.field)))

(decorated_definition definition: (_) @wrapped) @wrapper

(assignment left: (identifier) @binding)
(assignment left: (pattern_list (identifier) @binding))
(assignment left: (tuple_pattern (identifier) @binding))
(named_expression name: (identifier) @binding)
(for_statement left: (identifier) @binding)
(for_statement left: (pattern_list (identifier) @binding))
(for_in_clause left: (identifier) @binding)
(for_in_clause left: (pattern_list (identifier) @binding))
(parameters (identifier) @binding)
(lambda_parameters (identifier) @binding)
(default_parameter name: (identifier) @binding)
(typed_parameter . (identifier) @binding)
(typed_default_parameter name: (identifier) @binding)
(list_splat_pattern (identifier) @binding)
(dictionary_splat_pattern (identifier) @binding)
(as_pattern_target (identifier) @binding)
(aliased_import alias: (identifier) @binding)
