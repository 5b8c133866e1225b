"""CasADi expressions to the text of numba functions over lanes.

The instruction list of an SX function becomes straight-line scalar code inside one loop over lanes. Numbers are lifted
into an array `c`, so that the text, and with it the compiled code, does not depend on masses, weights or goals.
"""

import casadi as ca

from ppi_robotics.errors import PlantError, PPIError

LITERALS = {0.0, 1.0, -1.0, 2.0, 0.5}

BINARY = {
    ca.OP_ADD: "{} + {}", ca.OP_SUB: "{} - {}", ca.OP_MUL: "{} * {}", ca.OP_DIV: "{} / {}",
    ca.OP_POW: "{} ** {}", ca.OP_CONSTPOW: "{} ** {}", ca.OP_FMIN: "np.fmin({}, {})", ca.OP_FMAX: "np.fmax({}, {})",
    ca.OP_LT: "(1.0 if {} < {} else 0.0)", ca.OP_LE: "(1.0 if {} <= {} else 0.0)",
    ca.OP_EQ: "(1.0 if {} == {} else 0.0)", ca.OP_NE: "(1.0 if {} != {} else 0.0)",
    ca.OP_AND: "(1.0 if {} != 0.0 and {} != 0.0 else 0.0)", ca.OP_OR: "(1.0 if {} != 0.0 or {} != 0.0 else 0.0)",
    ca.OP_IF_ELSE_ZERO: "({1} if {0} != 0.0 else 0.0)", ca.OP_FMOD: "np.fmod({}, {})",
    ca.OP_COPYSIGN: "math.copysign({}, {})", ca.OP_ATAN2: "math.atan2({}, {})", ca.OP_HYPOT: "math.hypot({}, {})",
    ca.OP_REMAINDER: "remainder({}, {})",
}  # fmt: skip
UNARY = {
    ca.OP_ASSIGN: "{}", ca.OP_NEG: "-{}", ca.OP_SQ: "{0} * {0}", ca.OP_TWICE: "2.0 * {}", ca.OP_INV: "1.0 / {}",
    ca.OP_SIN: "sin({})", ca.OP_COS: "cos({})", ca.OP_SQRT: "math.sqrt({})", ca.OP_FABS: "abs({})",
    ca.OP_TAN: "sin({0}) / cos({0})", ca.OP_EXP: "math.exp({})", ca.OP_LOG: "math.log({})",
    ca.OP_ASIN: "math.asin({})", ca.OP_ACOS: "math.acos({})", ca.OP_ATAN: "math.atan({})",
    ca.OP_SINH: "math.sinh({})", ca.OP_COSH: "math.cosh({})", ca.OP_TANH: "math.tanh({})",
    ca.OP_ASINH: "math.asinh({})", ca.OP_ACOSH: "math.acosh({})", ca.OP_ATANH: "math.atanh({})",
    ca.OP_FLOOR: "np.floor({})", ca.OP_CEIL: "np.ceil({})", ca.OP_ERF: "math.erf({})",
    ca.OP_LOG1P: "math.log1p({})", ca.OP_EXPM1: "math.expm1({})",
    ca.OP_SIGN: "(-1.0 if {0} < 0.0 else 1.0 if {0} > 0.0 else {0})",
    ca.OP_NOT: "(1.0 if {} == 0.0 else 0.0)",
}  # fmt: skip


def trace(label, function, symbols, parameters=()):
    """Call a user's function on CasADi symbols and check that it answers with an expression in them.

    Args:
      label: names the function in messages.
      function: of the symbols, returning a CasADi vector or a list of scalars.
      symbols, parameters: SX vectors that the expression may depend on.

    Raises:
      PlantError: if the call fails, returns something else or brings in other symbols.
    """
    try:
        value = function(*symbols)
        value = ca.vertcat(*value) if isinstance(value, list | tuple) else ca.SX(value)
    except Exception as error:  # the user's code may raise anything
        if isinstance(error, PPIError):
            raise
        reason = " ".join(str(error).split())
        raise PlantError(
            f"{label} fails on CasADi symbols ({type(error).__name__}: {reason[-200:]}); "
            "use ppi.sin, ppi.vertcat, ... on its arguments"
        ) from error
    known = {s.element_hash() for symbol in (*symbols, *parameters) for s in ca.symvar(symbol)}
    free = [s.name() for s in ca.symvar(value) if s.element_hash() not in known]
    if free:
        raise PlantError(f"{label} uses unknown symbols: {', '.join(free)}; use only its arguments and numbers")
    return ca.densify(value)


def lane_function(name, inputs, outputs, constants, parameters=None):
    """Text of `name(inputs..., c, outputs...)`, writing every entry of every output.

    Args:
      name: of the function.
      inputs: argument name to SX column vector.
      outputs: argument name to SX expression; matrices are laid out by rows.
      constants: list of floats, appended to in place; the text refers to its entries as c[...].
      parameters: SX column vector and its values (n,), further numbers that the text takes from c.

    Raises:
      PlantError: if the expression holds an operation that has no counterpart.
    """
    flat = [ca.reshape(ca.densify(value).T, -1, 1) for value in outputs.values()]
    options = {"cse": True, "live_variables": False}
    symbols, values = parameters if parameters is not None else (ca.SX(0, 1), ())
    function = ca.Function(name, [*inputs.values(), symbols], flat, [*inputs, "parameters"], list(outputs), options)
    loads, body, fixed = [], [], set()
    for k in range(function.n_instructions()):
        op, target, source = function.instruction_id(k), function.instruction_output(k), function.instruction_input(k)
        if op == ca.OP_CONST:
            value = function.instruction_constant(k)
            fixed.add(target[0])
            if value in LITERALS:
                loads.append(f"    a{target[0]} = {value!r}")
            else:
                loads.append(f"    a{target[0]} = c[{len(constants)}]")
                constants.append(value)
        elif op == ca.OP_INPUT and source[0] == len(inputs):
            fixed.add(target[0])
            loads.append(f"    a{target[0]} = c[{len(constants)}]")
            constants.append(float(values[source[1]]))
        elif op == ca.OP_INPUT:
            body.append(f"a{target[0]} = {list(inputs)[source[0]]}[{source[1]}, lane]")
        elif op == ca.OP_OUTPUT:
            body.append(f"{list(outputs)[target[0]]}[{target[1]}, lane] = a{source[0]}")
        elif op == ca.OP_DIV and source[1] in fixed:  # one division before the loop instead of one a lane
            loads.append(f"    i{k} = 1.0 / a{source[1]}")
            body.append(f"a{target[0]} = a{source[0]} * i{k}")
        elif op in BINARY or op in UNARY:
            form = BINARY.get(op) or UNARY[op]
            body.append(f"a{target[0]} = " + form.format(*(f"a{i}" for i in source)))
        else:
            raise PlantError(f"{name} uses CasADi operation {op}, which cannot be compiled; use elementary functions")
    lines = ["@njit", f"def {name}({', '.join([*inputs, 'c', *outputs])}):", *loads, "    for lane in range(LANES):"]
    return "\n".join(lines + [f"        {line}" for line in body or ["pass"]]) + "\n"
