// Package graphql reads schemas of GraphQL APIs and judges queries before they
// are sent: whether they are valid, and whether they ask for more than they may,
// by depth, aliases, root fields, directives, tokens, fields, cost and circles of
// types.
//
// It does not know where the API is, and sends nothing.
package graphql
