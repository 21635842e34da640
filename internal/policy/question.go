package policy

import (
	"net/netip"

	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Action is what somebody wants to do, by the name that policies have for it.
type Action string

// The actions of MCP. Others, which schema.cedarschema lists, are asked for by
// their names; one that it does not list is refused.
const (
	list         Action = "list" // see that a server exists, and what it says of itself
	callTool     Action = "call_tool"
	getPrompt    Action = "get_prompt"
	readResource Action = "read_resource"
	subscribe    Action = "subscribe"
	complete     Action = "complete"
	useTask      Action = "use_task"
	extend       Action = "extend" // call a method that the core of the protocol does not have
)

// Kind is the kind of what something is done to, an entity type of policies.
type Kind string

// The kinds, as in the schema. A Tool, a Prompt and a Resource belong to a server, and to the views that show them.
const (
	ofServer   Kind = "Server"
	ofTool     Kind = "Tool"
	ofPrompt   Kind = "Prompt"
	ofResource Kind = "Resource"
	ofModel    Kind = "Model"
	ofContext  Kind = "Context"
	ofPlatform Kind = "Platform"
)

// Resource is what something is done to.
type Resource struct {
	Kind Kind
	// Server is whose it is; empty for models, contexts and the platform.
	Server string
	// Name is the server's own name or the URI; for a Context its id, for the
	// Platform the area: users, access, definitions, audit, configuration.
	Name string
	// Owner is the ID of the principal whose Context it is.
	Owner string
}

// Question is what a decision is about.
type Question struct {
	Principal mcp.Principal
	Action    Action
	Resource  Resource
	// Arguments are those of a call; absent counts as none.
	Arguments jsonrpc.Object
	Revision  mcp.Revision
	// Address is where the principal calls from; policies that ask for it refuse when it is not known.
	Address netip.Addr
	// Seen is what the caller's conversation has read.
	Seen []flow.Source
	// Listing asks whether there could be arguments, a time and an address with
	// which the answer would be yes: whether it is shown.
	Listing bool
	// Explain fills in Decision.Reasons, for people.
	Explain bool

	conversation flow.Conversation // that of the call, where somebody looks at what it has read
}

// Decision is the answer.
type Decision struct {
	Allow bool
	// Rule is the policy that decided, by its id or as file:line; or a flow, as
	// flow:NAME; or one of the Rule constants.
	Rule string
	// Approval is what the user has to do with the decision, where a flow or a
	// policy with @ask leaves it to them.
	Approval Approval
	// Read is what was read that made a flow decide.
	Read []flow.Source
	// Reasons are sentences for people, when they were asked for.
	Reasons []string
	// Fault says what went wrong in a policy, which made the answer no; empty if nothing did.
	Fault string
}

// Approval is what the user has said of one call.
type Approval string

// What a user can have said; empty when it was not up to them.
const (
	// ApprovalWanted: it is refused unless the user says yes to this one call.
	ApprovalWanted Approval = "wanted"
	// ApprovalGiven: the user said yes.
	ApprovalGiven Approval = "given"
	// ApprovalDenied: the user said no.
	ApprovalDenied Approval = "denied"
)

// What decided where no policy did.
const (
	// RuleOpen: no access control is configured.
	RuleOpen = "open"
	// RuleDefault: no policy permits it.
	RuleDefault = "default"
	// RuleCredential: the credential is bound to other servers.
	RuleCredential = "credential"
)
