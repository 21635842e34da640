// Package outbound sends requests to one API: with its credentials, at its pace,
// again only where that does no harm, and not at all when the answer is known or
// the API has failed time and again.
//
//	Send ─► cache ─► credentials ─► retry ─► pace ─► breaker ─► network
//
// It does not know what a request means or how it was made, nor tools and models;
// which destinations are open is decided by the client that it is given.
package outbound
