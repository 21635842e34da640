// Package content finds which text of an HTML document is its content, and which
// is navigation, advertising and the rest of what surrounds it. It cuts the
// document into blocks, describes each by numbers, and judges those with two
// rounds of decision trees that test/quality has trained on the development set
// of WCXB: the second round sees what the first thought of a block's
// neighbourhood. The blocks that are taken are those that make the expected F1
// of the page largest.
//
// The package does not know where a document comes from, what its content is
// written as afterwards, or what is hidden in it.
package content
