// Sessions of the REST API, as a vCenter has them beside those of SOAP: opened with a name and password, asked for and ended by whoever
// has the id, and in no list.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
)

const (
	restPath   = "/api/session"
	restHeader = "vmware-api-session-id"
)

func (f *front) answerRest(w http.ResponseWriter, r *http.Request) {
	if rule := f.match("REST " + r.Method); rule != nil {
		rule.waitBefore()
		switch {
		case rule.is("status"):
			w.WriteHeader(rule.Status)
			return
		case rule.is("drop"):
			f.hangUp(w)
			return
		}
	}
	id := r.Header.Get(restHeader)
	f.mu.Lock()
	user, known := f.restSessions[id]
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost:
		name, password, _ := r.BasicAuth()
		if len(f.users) > 0 && (f.users[name] == "" || f.users[name] != password) {
			refuseRest(w)
			return
		}
		random := make([]byte, 16)
		_, _ = rand.Read(random)
		opened := hex.EncodeToString(random)
		f.change(func() { f.restSessions[opened] = name })
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%q", opened)
	case !known:
		refuseRest(w)
	case r.Method == http.MethodDelete:
		f.change(func() { delete(f.restSessions, id) })
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprintf(w, `{"user":%q,"created_time":"2026-01-01T00:00:00Z"}`, user)
	}
}

func refuseRest(w http.ResponseWriter) {
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, `{"error_type":"UNAUTHENTICATED","messages":[]}`)
}
