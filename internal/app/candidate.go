package app

import (
	"net/http"

	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// compare answers GET /policy/candidate with what has come of the policies on trial. It names who called what, so that it
// is for those who may manage access.
func (s *Server) compare(w http.ResponseWriter, r *http.Request) {
	q, err := policy.Ask("manage", "", "Platform/access", jsonrpc.Object{})
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "internal error"})
		return
	}
	q.Principal = mcp.PrincipalOf(r.Context())
	if !s.app.access.policy.Decide(r.Context(), q).Allow {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "only who may manage Platform/access sees this: an admin may"})
		return
	}
	c, tried := s.app.access.policy.Compare()
	if !tried {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no policies are on trial: name some in access.candidate"})
		return
	}
	writeJSON(w, http.StatusOK, c)
}
