package jsonrpc

import (
	"bytes"
	"unicode/utf8"
)

// The members that the protocol defines at the levels that a gateway reads, over all its revisions. A member there that
// differs from one of these only by case is refused: readers that compare without regard to case (Go's encoding/json, for
// one) would take `Name` for `name`, so that what was checked is not what is called. Below these levels case is free.
//
// The lists are ordered by how often a name is met, since they are searched from the front.
var (
	envelopeNames = [...]string{"jsonrpc", "id", "method", "params", "result", "error"}

	paramsNames = [...]string{
		"_meta", "name", "arguments", "uri", "cursor",
		"inputResponses", "requestState", "progressToken", "progress", "total", "message", "requestId", "reason",
		"protocolVersion", "capabilities", "clientInfo", "ref", "argument", "context", "level", "logger", "data",
		"notifications", "taskId", "task", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttl", "ttlMs",
		"pollInterval", "pollIntervalMs", "mode", "requestedSchema", "url", "elicitationId", "messages",
		"modelPreferences", "systemPrompt", "includeContext", "temperature", "maxTokens", "stopSequences", "metadata",
		"tools", "toolChoice",
	}

	errorNames = [...]string{"code", "message", "data"}

	metaNames = [...]string{
		"progressToken", "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities",
		"io.modelcontextprotocol/clientInfo", "io.modelcontextprotocol/serverInfo",
		"io.modelcontextprotocol/subscriptionId", "io.modelcontextprotocol/logLevel",
		"io.modelcontextprotocol/related-task", "traceparent", "tracestate", "baggage",
	}

	// resultNames and errorNames are not held against others: a result is what its method says, and methods are
	// open-ended. Results are listed so that their names need no memory.
	resultNames = [...]string{
		"content", "structuredContent", "isError", "resultType", "_meta", "tools", "nextCursor", "ttlMs", "cacheScope",
		"resources", "resourceTemplates", "prompts", "contents", "messages", "description", "completion",
		"inputRequests", "requestState", "protocolVersion", "supportedVersions", "capabilities", "serverInfo",
		"instructions", "action", "model", "role", "stopReason", "roots", "task", "tasks", "taskId", "status",
	}
)

// level is where an object stands in a message.
type level uint8

const (
	plain     level = iota // nothing is known of its members
	inMessage              // the message itself
	inParams
	inResult
	inMeta // `_meta` of params or result
	inError
)

// names returns the members that the protocol defines at l, and whether others must differ from them by more than case.
func (l level) names() (known []string, strict bool) {
	switch l {
	case inMessage:
		return envelopeNames[:], true
	case inParams:
		return paramsNames[:], true
	case inResult:
		return resultNames[:], false
	case inMeta:
		return metaNames[:], true
	case inError:
		return errorNames[:], false
	}
	return nil, false
}

// recorded reports whether the members of objects at l are kept.
func (l level) recorded() bool { return l == plain || l == inParams || l == inResult }

// look finds name among the names of l. exact is the protocol's own string when name is one of them; alike is the one that
// name could be taken for.
func (l level) look(name []byte) (exact, alike string) {
	known, strict := l.names()
	for _, k := range known {
		if string(name) == k {
			return k, ""
		}
	}
	if !strict {
		return "", ""
	}
	return "", mistaken(name, known)
}

// mistaken returns the one of known that name equals under Unicode simple folding, where the Kelvin sign is k and the long s
// is s. Only a name with such letters can have another length in bytes.
func mistaken(name []byte, known []string) string {
	ascii := isASCII(name)
	for _, k := range known {
		if (!ascii || len(k) == len(name)) && bytes.EqualFold(name, []byte(k)) {
			return k
		}
	}
	return ""
}

func isASCII(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
