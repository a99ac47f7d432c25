// Permissions as a real vCenter has them, where the simulator only keeps a list: setting one leaves the others of the place alone,
// and who has no right to change an object is refused. Everybody whom no permission names is an administrator here.
package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// answerAccounts is true where it has answered in place of the simulator.
func (f *front) answerAccounts(w http.ResponseWriter, method *simulator.Method, session *types.UserSession) (answered bool) {
	if session == nil {
		return false
	}
	simulator.Map.WithLock(authorization(), func() { answered = answerByPermissions(w, method, session) })
	return answered
}

func answerByPermissions(w http.ResponseWriter, method *simulator.Method, session *types.UserSession) bool {
	switch body := method.Body.(type) {
	case *types.SetEntityPermissions:
		for i := range body.Permission {
			body.Permission[i].Entity = &body.Entity
		}
		kept := []types.Permission{}
		for _, old := range permissionsAt(body.Entity) {
			replaced := false
			for _, set := range body.Permission {
				replaced = replaced || (set.Group == old.Group && strings.EqualFold(set.Principal, old.Principal))
			}
			if !replaced {
				kept = append(kept, old)
			}
		}
		authorization().SetEntityPermissions(&types.SetEntityPermissions{
			This: body.This, Entity: body.Entity, Permission: append(kept, body.Permission...),
		})
		writeAnswer(w, method.Name, "")
		return true
	case *types.FetchUserPrivilegeOnEntities:
		var inner strings.Builder
		for _, entity := range body.Entities {
			fmt.Fprintf(&inner, `<returnval><entity type="%s">%s</entity>`, entity.Type, entity.Value)
			for _, privilege := range privilegesOf(body.UserName, entity) {
				fmt.Fprintf(&inner, `<privileges>%s</privileges>`, privilege)
			}
			inner.WriteString(`</returnval>`)
		}
		writeAnswer(w, method.Name, inner.String())
		return true
	}
	if wanted := sessionPrivileges[method.Name]; wanted != "" && !holds(session.UserName, wanted) {
		writeDenied(w, wanted)
		return true
	}
	if (strings.HasSuffix(method.Name, "_Task") || method.Name == "CreateFolder") && !mayChange(session.UserName, method.This) {
		writeFault(w, "NoPermission", "Permission to perform this operation was denied.")
		return true
	}
	return false
}

var sessionPrivileges = map[string]string{
	"TerminateSession": "Sessions.TerminateSession",
	"SessionIsActive":  "Sessions.ValidateSession",
}

func holds(user string, wanted string) bool {
	for _, privilege := range privilegesOf(user, simulator.Map.Get(types.ManagedObjectReference{
		Type: "ServiceInstance", Value: "ServiceInstance",
	}).(*simulator.ServiceInstance).Content.RootFolder) {
		if privilege == wanted {
			return true
		}
	}
	return false
}

func mayChange(user string, entity types.ManagedObjectReference) bool {
	for _, privilege := range privilegesOf(user, entity) {
		if !strings.HasPrefix(privilege, "System.") {
			return true
		}
	}
	return false
}

// privilegesOf goes up from the object to the nearest permission that names the user.
func privilegesOf(user string, entity types.ManagedObjectReference) []string {
	manager := authorization()
	role := int32(-1)
	for at, first := entity, true; ; first = false {
		found := false
		for _, permission := range permissionsAt(at) {
			if !permission.Group && strings.EqualFold(permission.Principal, user) && (first || permission.Propagate) {
				role, found = permission.RoleId, true
			}
		}
		object, isEntity := simulator.Map.Get(at).(mo.Entity)
		if found || !isEntity || object.Entity().Parent == nil {
			break
		}
		at = *object.Entity().Parent
	}
	for _, known := range manager.RoleList {
		if known.RoleId == role {
			return known.Privilege
		}
	}
	return nil
}

func permissionsAt(entity types.ManagedObjectReference) []types.Permission {
	all := authorization().RetrieveAllPermissions(&types.RetrieveAllPermissions{}).(*methods.RetrieveAllPermissionsBody)
	kept := []types.Permission{}
	for _, permission := range all.Res.Returnval {
		if permission.Entity != nil && *permission.Entity == entity {
			kept = append(kept, permission)
		}
	}
	return kept
}

func authorization() *simulator.AuthorizationManager {
	return simulator.Map.Get(*simulator.Map.Get(types.ManagedObjectReference{
		Type: "ServiceInstance", Value: "ServiceInstance",
	}).(*simulator.ServiceInstance).Content.AuthorizationManager).(*simulator.AuthorizationManager)
}
