; What JavaScript and TypeScript share. The captures are explained in rust.scm.

(class_declaration name: (_) @name) @definition.class
(function_declaration name: (identifier) @name) @definition.function
(generator_function_declaration name: (identifier) @name) @definition.function
((method_definition name: (property_identifier) @name) @definition.constructor
  (#eq? @name "constructor"))
(method_definition name: (_) @name) @definition.method
(variable_declarator
  name: (identifier) @name
  value: [(arrow_function) (function_expression) (generator_function)]) @definition.function
(variable_declarator name: (identifier) @name value: (class)) @definition.class
(pair
  key: (property_identifier) @name
  value: [(arrow_function) (function_expression) (generator_function)]) @definition.method
(assignment_expression
  left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function) (function_expression) (generator_function)]) @definition.function
(program
  (lexical_declaration kind: "const"
    (variable_declarator name: (identifier) @name) @definition.constant))
(program
  (export_statement declaration:
    (lexical_declaration kind: "const"
      (variable_declarator name: (identifier) @name) @definition.constant)))
(program
  (lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable))
(program
  (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable))
(program
  (export_statement declaration:
    (lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)))
(program
  (export_statement declaration:
    (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)))

(export_statement declaration: (_) @wrapped) @wrapper
(export_statement value: (_) @wrapped) @wrapper
(lexical_declaration (variable_declarator) @wrapped) @wrapper
(variable_declaration (variable_declarator) @wrapped) @wrapper

(variable_declarator name: (identifier) @binding)
(shorthand_property_identifier_pattern) @binding
(object_pattern (pair_pattern value: (identifier) @binding))
(array_pattern (identifier) @binding)
(assignment_pattern left: (identifier) @binding)
(rest_pattern (identifier) @binding)
(arrow_function parameter: (identifier) @binding)
(catch_clause parameter: (identifier) @binding)
(for_in_statement left: (identifier) @binding)
(import_clause (identifier) @binding)
(namespace_import (identifier) @binding)
(import_specifier alias: (identifier) @binding)
