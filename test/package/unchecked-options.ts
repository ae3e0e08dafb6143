import ts from 'typescript-api';
import { publicFunctions } from './public-functions.ts';

/**
 * Whether a parameter is an object of options, by its name, the name of its type, or an optional member in its
 * anonymous type, with more than a signal.
 */
function isOptions(parameter: ts.ParameterDeclaration, checker: ts.TypeChecker): boolean {
  const { name, type } = parameter;
  const isNamed = /^(?:options|given|choice|of|sources)$/.test(name.getText());
  const isLiteral = type !== undefined && ts.isTypeLiteralNode(type) && type.members.some((one) => one.questionToken);
  const words = /(?:Options|Settings|Choice|Sources|Demand|Expectations|SignInRequest)\b/;
  if (!isNamed && !isLiteral && !words.test(type?.getText() ?? '')) return false;
  const given = checker.getNonNullableType(checker.getTypeAtLocation(parameter));
  return given.getCallSignatures().length === 0 && given.getProperties().some((member) => member.name !== 'signal');
}

/** Whether a function passes a parameter of it to `checkMembers`, itself or through a function that gets it whole. */
function isChecked(
  body: ts.FunctionLikeDeclaration,
  parameter: string,
  checker: ts.TypeChecker,
  seen: Set<ts.Node> = new Set(),
): boolean {
  if (seen.has(body) || body.body === undefined) return false;
  seen.add(body);
  const visit = (node: ts.Node): boolean => {
    if (ts.isCallExpression(node)) {
      const at = node.arguments.findIndex((one) => ts.isIdentifier(one) && one.text === parameter);
      if (at >= 0) {
        if (node.expression.getText() === 'checkMembers') return true;
        const called = checker.getResolvedSignature(node)?.declaration;
        const own = called?.parameters[at]?.name;
        if (called !== undefined && 'body' in called && own !== undefined && ts.isIdentifier(own)) {
          if (isChecked(called as ts.FunctionLikeDeclaration, own.text, checker, seen)) return true;
        }
      }
    }
    return ts.forEachChild(node, visit) === true;
  };
  return visit(body.body);
}

/** Public functions with options: how many there are, and which of them ignore a misspelt one. */
export interface FunctionsWithOptions {
  readonly count: number;
  /** `subpath: name(parameter)` */
  readonly unchecked: readonly string[];
}

/** Looks in src/ for functions with an object of options that never reaches `checkMembers`. */
export function readFunctionsWithOptions(): FunctionsWithOptions {
  const { checker, functions } = publicFunctions();
  const found = functions.flatMap(({ path, body }) =>
    body.parameters
      .filter((own) => isOptions(own, checker))
      .map(({ name }) => ({
        path: `${path}(${ts.isIdentifier(name) ? name.text : '{…}'})`,
        isChecked: ts.isIdentifier(name) && isChecked(body, name.text, checker),
      })),
  );
  return { count: found.length, unchecked: found.filter((one) => !one.isChecked).map(({ path }) => path) };
}
