"""The services of a Kubernetes or OpenShift cluster: read-only, over its API, without kubectl or oc.

`kubeconfig`, `plugin` > `access` (whose cluster, with which credentials) > `reader` (lists, bounded) > `objects`,
`routing` (raw JSON into small values) > `inventory` (all that was read) > `recognition`, `backends` (what is an engine,
and why) > `ways` (how it is reached) > `facts` > `source` (candidates). `forwarding` carries connections through the
API.
"""
