package mongo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// authInfo is what connectionStatus tells of who is logged in.
type authInfo struct {
	Info struct {
		Users []struct {
			User string `bson:"user"`
			DB   string `bson:"db"`
		} `bson:"authenticatedUsers"`
		Privileges []struct {
			Resource bson.D   `bson:"resource"`
			Actions  []string `bson:"actions"`
		} `bson:"authenticatedUserPrivileges"`
	} `bson:"authInfo"`
}

const maxExcess = 8 // that are named

// Posture reads the privileges of the role.
func (s *Source) Posture(ctx context.Context) (engine.Posture, error) {
	return s.posture(ctx, reading, fmt.Sprintf("db.getSiblingDB(%[1]q).createUser({user: \"dragoman_reader\", pwd: passwordPrompt(), roles: [{role: \"read\", db: %[1]q}]})", s.name))
}

// posture compares the privileges of the role with those that it should have.
func (l *link) posture(ctx context.Context, fine, remedy string) (engine.Posture, error) {
	var who authInfo
	err := l.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		return db.RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}).Decode(&who)
	})
	if err != nil {
		return engine.Posture{}, err
	}
	p := excess(who, fine)
	if len(p.Excess) > 0 {
		p.Remedy = remedy
	}
	return p, nil
}

func excess(who authInfo, fine string) engine.Posture {
	p := engine.Posture{Role: "nobody"}
	if len(who.Info.Users) == 0 {
		p.Excess = []string{"the server asks nobody who they are, so everybody may write"}
		return p
	}
	p.Role = who.Info.Users[0].User + "@" + who.Info.Users[0].DB
	if len(who.Info.Privileges) == 0 {
		p.Excess = []string{"the server does not say what the role may do"}
	}
	for _, privilege := range who.Info.Privileges {
		more := slices.DeleteFunc(slices.Clone(privilege.Actions), func(action string) bool { return engine.Listed(fine, action) })
		if len(more) == 0 {
			continue
		}
		slices.Sort(more)
		if len(more) > maxExcess {
			more = append(more[:maxExcess], "...")
		}
		if p.Excess = append(p.Excess, "may "+strings.Join(more, ", ")+" on "+resource(privilege.Resource)); len(p.Excess) == maxExcess {
			break
		}
	}
	return p
}

func resource(r bson.D) string {
	var parts []string
	for _, e := range r {
		if text, is := e.Value.(string); is && text != "" {
			parts = append(parts, text)
		} else if !is {
			parts = append(parts, e.Key)
		}
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ".")
}
