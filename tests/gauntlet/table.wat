;; Grows a table until it is refused, and traps: what Rust cannot say. The rest of the gauntlet is in
;; `src/attacks`.
(component
  (import "wasi:http/types@0.2.0" (instance $http
    (export "incoming-request" (type $request (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))))
  (alias export $http "incoming-request" (type $request))
  (alias export $http "response-outparam" (type $outparam))

  (core func $drop (canon resource.drop $request))

  (core module $service
    (import "host" "drop" (func $drop (param i32)))
    (table $table 1 funcref)
    (func (export "handle") (param $request i32) (param $outparam i32)
      (call $drop (local.get $request))
      (loop $more
        (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
      unreachable))
  (core instance $service (instantiate $service (with "host" (instance (export "drop" (func $drop))))))

  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $service "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
