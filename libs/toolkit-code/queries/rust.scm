; A capture `definition.KIND` is the whole definition, `name` its name. The first pattern that
; names a node decides its kind. `binding` is a name bound locally (a parameter, a variable).
; A definition that is `wrapped` reaches as far as its `wrapper`, when that holds nothing else.

(mod_item name: (identifier) @name) @definition.module
(struct_item name: (type_identifier) @name) @definition.struct
(enum_item name: (type_identifier) @name) @definition.enum
(union_item name: (type_identifier) @name) @definition.union
(trait_item name: (type_identifier) @name) @definition.trait
(impl_item type: (_) @name) @definition.impl
(type_item name: (type_identifier) @name) @definition.type
(associated_type name: (type_identifier) @name) @definition.type
(function_item name: (_) @name) @definition.function
(function_signature_item name: (_) @name) @definition.function
(macro_definition name: (identifier) @name) @definition.macro
(const_item name: (identifier) @name) @definition.constant
(static_item name: (identifier) @name) @definition.variable
(field_declaration name: (field_identifier) @name) @definition.field
(enum_variant name: (identifier) @name) @definition.variant

(let_declaration pattern: (identifier) @binding)
(parameter pattern: (identifier) @binding)
(closure_parameters (identifier) @binding)
(for_expression pattern: (identifier) @binding)
(mut_pattern (identifier) @binding)
(ref_pattern (identifier) @binding)
(tuple_pattern (identifier) @binding)
(captured_pattern . (identifier) @binding)
(field_pattern name: (shorthand_field_identifier) @binding)
(use_as_clause alias: (identifier) @binding)
(type_parameter name: (type_identifier) @binding)
(const_parameter name: (identifier) @binding)
